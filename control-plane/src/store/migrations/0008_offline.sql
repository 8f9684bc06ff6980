-- Until when a license file is good that was signed for the box: it is not heard of meanwhile, and
-- keeps its seat.
ALTER TABLE boxes ADD COLUMN offline_until BIGINT;
