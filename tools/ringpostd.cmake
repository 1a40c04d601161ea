add_executable(ringpostd ringpostd.c)
target_link_libraries(ringpostd PRIVATE ring_daemon ring_malloc)
