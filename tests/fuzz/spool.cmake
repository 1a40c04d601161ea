fuzz_target(fuzz_spool_segment
  SOURCES ${PROJECT_SOURCE_DIR}/tests/unit/spool/segment_image.c
  USES spool support)
