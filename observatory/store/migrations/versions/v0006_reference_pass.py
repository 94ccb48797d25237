"""A window says how fast the machine was at its edges."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "window",
        sa.Column(
            "reference_pass_s",
            sa.Float(precision=53),
            nullable=True,
            comment="Seconds of the anchor's pass at the window's edges; NULL on an accelerator.",
        ),
    )
