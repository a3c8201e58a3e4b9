"""Over-the-air updates: the slots for images, the bytes that are sent, and the update image."""
