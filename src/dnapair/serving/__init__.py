"""The registered model behind MLflow's scoring protocol, for many clients."""
