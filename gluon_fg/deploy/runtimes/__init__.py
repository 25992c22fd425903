"""What computes a converted network: a file for each runtime, which imports its packages when it is used.

Each has `opened(model, precision, threads)`: it takes an ONNX model, as bytes or a file's path, and returns a function
that compiles it for a shape of a batch, and gives a function from arrays of that shape to a list of arrays.
"""
