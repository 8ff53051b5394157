"""Pages for people: login, study list, images; rendered here, working without scripts, better with them."""
