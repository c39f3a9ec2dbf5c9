"""Models: embedding, stacks and head. `model` has their interface, each other file a kind."""
