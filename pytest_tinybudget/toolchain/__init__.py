"""From a user's own toolchain output: runtime tables out of archives, reserves out of firmware."""
