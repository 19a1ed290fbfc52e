"""Tags of a version: what it was trained on and with, and how good it is, for lists and searches."""

BUNDLE_TAG = "dnapair.bundle_sha256"
REGISTRATION_TAG = "dnapair.registration_sha256"
DATA_TAG = "dnapair.dataset_sha256"
FRAMEWORK_TAG = "dnapair.framework"
ENCODER_TAG = "dnapair.encoder"
MAKER_TAG = "dnapair.version"
VALIDATION_TAG = "dnapair.val_pr_auc"
TEST_TAGS = {"roc_auc": "dnapair.test_roc_auc", "pr_auc": "dnapair.test_pr_auc"}
