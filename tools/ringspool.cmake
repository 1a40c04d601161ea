add_executable(ringspool ringspool.c ringspool_read.c)
target_link_libraries(ringspool PRIVATE ring_spool ring_malloc)
