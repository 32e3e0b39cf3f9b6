"""The page on this machine to explore a trained model with: its requests, the responses and the server."""
