"""The daemon behind ``trickle-runtime serve``: what is due, who does it, and when."""
