"""What a model takes on a runtime: arena simulation, virtual link, stack."""
