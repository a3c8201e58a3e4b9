"""The code of the child process. Only this code imports numpy and interpreters."""
