"""What tests/e2e/upgrade.py is made of."""
