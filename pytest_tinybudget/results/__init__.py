"""The results: their types, the file that holds them, its writer, reader and schema."""
