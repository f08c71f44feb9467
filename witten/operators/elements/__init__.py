"""Finite elements on a mesh of simplices (`finite_elements`), and estimators of their errors."""
