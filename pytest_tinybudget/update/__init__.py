"""Over-the-air updates: the slots that an image must fit, what is sent, and the image itself."""
