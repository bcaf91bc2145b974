"""Autoencoders: compositions to latent vectors and back."""
