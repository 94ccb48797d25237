"""A kept bill says which kind of carbon intensity it was made with."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "estimate",
        sa.Column(
            "kind",
            sa.Text(),
            nullable=True,
            comment="Kind of carbon intensity; NULL for a runtime, or where it was stated.",
        ),
    )
