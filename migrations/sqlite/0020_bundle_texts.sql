-- The signed bundle itself, so that its signature can be checked whenever its rules are read.
ALTER TABLE access_policies ADD COLUMN bundle_text TEXT;
