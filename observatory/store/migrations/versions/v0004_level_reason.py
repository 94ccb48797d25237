"""A summary says why its point did not meet the protocol level that was asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "summary",
        sa.Column(
            "profile_reason",
            sa.Text(),
            nullable=True,
            comment="Why it is not the level asked for; NULL where that was met.",
        ),
    )
