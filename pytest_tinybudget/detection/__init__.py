"""What a project flashes, read from the files in its repository: findings, as values."""
