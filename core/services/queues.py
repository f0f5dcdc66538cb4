"""Names of the queues that the kinds of units wait in; workers are started with some of them."""

PLAN = "plan"
BATCH = "batch"
INTERACTIVE = "interactive"
TRAIN = "train"
TRIAL = "trial"
