"""Models: the sets they are trained on, their training, what they are worth."""
