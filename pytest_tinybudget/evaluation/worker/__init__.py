"""What runs in the child process: the room's only code that imports numpy and interpreters."""
