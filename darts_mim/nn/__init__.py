"""The papers in torch alone: one step of a paper per cell, state in and out, nothing kept on a module."""
