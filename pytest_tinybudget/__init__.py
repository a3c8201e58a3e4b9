"""Memory budgets for machine-learning models on microcontrollers, as pytest items and a CI gate."""
