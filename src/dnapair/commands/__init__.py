"""What a user types besides the stages: predict, explain, compare, models, drift, pretrain and others."""
