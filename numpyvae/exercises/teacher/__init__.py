"""What a teacher does: grade a class, hand out kits, prove that the exercises hold together."""
