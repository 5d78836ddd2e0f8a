"""The campaign: proof that paid writes are never doubled and never lost, whatever fails around them.

``python -m tests.campaign`` says what it can do; tests/test_campaign.py runs small ones.
"""
