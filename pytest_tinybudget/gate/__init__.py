"""From a declared pair to its result: what is measured, the verdict, and what would fix it."""
