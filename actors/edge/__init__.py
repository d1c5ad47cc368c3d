"""What the outside touches: monitoring, and what foreign systems and browsers will speak to."""
