"""The faces: the APIs of the providers that the sandbox imitates. All faces use the same books.

``face`` has the class of a face, and ``table.FACES`` lists all faces for the server. The package may import the books.
"""
