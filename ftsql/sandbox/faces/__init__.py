"""The faces: the APIs of the providers that the sandbox imitates, over the same books.

``face`` defines what a face is, ``table.FACES`` lists them all for the server. The package may import the books.
"""
