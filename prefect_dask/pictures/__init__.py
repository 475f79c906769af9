"""Flows as pictures: what is shown (`diagram`), as text for GraphViz (`dot`), and drawn by it (`rendering`)."""
