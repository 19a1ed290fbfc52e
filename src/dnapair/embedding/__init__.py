"""From sequences to embeddings: the encoder, its batches and windows, pooling, and the store on disk."""
