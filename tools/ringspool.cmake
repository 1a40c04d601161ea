add_executable(ringspool ringspool.c ringspool_read.c ringspool_verify.c)
target_link_libraries(ringspool PRIVATE ring_spool ring_malloc)
