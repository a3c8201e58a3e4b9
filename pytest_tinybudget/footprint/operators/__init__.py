"""Operator rules: what each kernel allocates and refuses, one entry an operator."""
