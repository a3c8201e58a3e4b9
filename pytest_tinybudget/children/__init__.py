"""Child processes: what they see and may take, and that neither they nor files outlive the run."""
