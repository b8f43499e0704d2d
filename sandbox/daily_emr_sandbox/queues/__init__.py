"""The part `queues`: BullMQ on a Valkey pair of its own, a queue of SQS, their producers and workers."""
