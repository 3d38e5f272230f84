"""Other formats and places: checkpoints of other projects, the Hugging Face Hub."""
