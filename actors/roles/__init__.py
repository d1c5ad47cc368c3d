"""The thirteen roles: one generic core, one playbook each."""
