"""What there is to see: films, the player, maps, reports."""
