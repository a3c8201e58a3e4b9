"""What every room may use: text, sizes, errors, files, locks, caches, child processes."""
