"""Before fitting: what does each cell of a grid need?"""
