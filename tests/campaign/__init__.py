"""The campaigns: proof that paid writes are never doubled and never lost, and that no answer or SQL does harm.

``python -m tests.campaign`` says what it can do; tests/campaign/test_campaign.py runs small ones.
"""
