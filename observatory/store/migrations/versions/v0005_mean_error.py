"""A fit says its mean held-out error: what a planner's target is about."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "fit",
        sa.Column(
            "heldout_mean_error",
            sa.Float(precision=53),
            nullable=True,
            comment="Mean relative error on them.",
        ),
    )
