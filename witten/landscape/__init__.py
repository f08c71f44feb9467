"""The asymptotic route: critical points, barriers, the Eyring-Kramers law."""
