"""``tinybudget.toml`` to validated objects, with errors that name line and key."""
