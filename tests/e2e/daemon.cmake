# The daemon from outside: mail in, mail out, records. Words after the file go to the test.
macro(e2e_test file)
  get_filename_component(subject ${file} NAME_WE)
  string(REGEX REPLACE "_test$" "" subject ${subject})
  add_test(NAME e2e/${subject}
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/e2e/${file} ${PROJECT_BINARY_DIR}
      ${ARGN})
  set_tests_properties(e2e/${subject} PROPERTIES TIMEOUT 1500)
endmacro()

e2e_test(start_test.py)
e2e_test(inbound_test.py)
e2e_test(inbound_policy_test.py)
e2e_test(inbound_body_test.py)
e2e_test(outbound_test.py)
e2e_test(outbound_follow_test.py)
e2e_test(outbound_limits_test.py)
e2e_test(outbound_logs_test.py)
e2e_test(queue_events_test.py)
e2e_test(deferred_test.py)
e2e_test(reports_test.py)
e2e_test(crash_test.py)
e2e_test(memory_test.py)
e2e_test(fault_test.py)
set_tests_properties(e2e/fault PROPERTIES SKIP_RETURN_CODE 77)
# A sanitizer makes every connection slower and keeps the memory of those that are gone.
if(RINGPOST_ASAN OR RINGPOST_TSAN)
  e2e_test(load_test.py --scale 10)
  e2e_test(load_outbound_test.py --scale 10)
else()
  e2e_test(load_test.py)
  e2e_test(load_outbound_test.py)
endif()
e2e_test(ringspool_test.py)

# The daemon with its writes recorded, and what tells what a rebuilt spool holds.
add_executable(ringpostd_recorded ringpostd_recorded.c)
target_link_libraries(ringpostd_recorded PRIVATE ring_daemon ring_support)
add_executable(spool_found spool_found.c)
target_link_libraries(spool_found PRIVATE ring_spool ring_shard ring_base)
e2e_test(recorded_test.py --cuts 20 --lives 2 --megabytes 1.5)

# The daemon on a disk that fails when it is told to.
add_executable(ringpostd_faulty ringpostd_faulty.c)
target_link_libraries(ringpostd_faulty PRIVATE ring_daemon ring_support)
