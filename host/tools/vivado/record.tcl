# Runs a script for Vivado without Vivado: every command of Vivado that the scripts may use is a recorder here, which knows its options and prints what
# it was given; any other is an error. Nothing is checked beyond that: host/tools/vivado/check.ts reads the record.
#
#   tclsh record.tcl <script> [argument…]
#
# A line is one call: command and arguments, separated by unit separators (0x1f). Properties come one by one, options as name=value before the rest.
# Exit code 1: the script failed, with its message on stderr.

# Command: options with a value, options without, how many other arguments at least and at most, and what it returns: of the arguments the first or
# all, the last with the first below it (a part of an object), or nothing.
set commands {
  create_project            {-part}                                 {-force}                        2 2 none
  current_project           {}                                      {}                              0 0 none
  close_project             {}                                      {}                              0 0 none
  add_files                 {-fileset}                              {-norecurse}                    1 1 none
  get_files                 {}                                      {}                              1 1 first
  get_filesets              {}                                      {}                              1 1 first
  update_compile_order      {-fileset}                              {}                              0 0 none
  update_ip_catalog         {}                                      {}                              0 0 none
  get_property              {}                                      {}                              2 2 none
  ipx::package_project      {-root_dir -vendor -library -taxonomy}  {-import_files -force}          0 0 none
  ipx::current_core         {}                                      {}                              0 0 none
  ipx::get_bus_interfaces   {-of_objects}                           {}                              0 1 all
  ipx::remove_bus_interface {}                                      {}                              2 2 none
  ipx::add_bus_interface    {}                                      {}                              2 2 first
  ipx::add_port_map         {}                                      {}                              2 2 part
  ipx::add_bus_parameter    {}                                      {}                              2 2 part
  ipx::associate_bus_interfaces {-busif -clock -reset}              {}                              1 1 none
  ipx::add_address_space    {}                                      {}                              2 2 part
  ipx::add_memory_map       {}                                      {}                              2 2 part
  ipx::add_address_block    {}                                      {}                              2 2 part
  ipx::add_register         {}                                      {}                              2 2 part
  ipx::add_register_parameter {}                                    {}                              2 2 part
  ipx::create_xgui_files    {}                                      {}                              1 1 none
  ipx::update_checksums     {}                                      {}                              1 1 none
  ipx::check_integrity      {}                                      {-kernel}                       1 1 none
  ipx::save_core            {}                                      {}                              1 1 none
  package_xo                {-ctrl_protocol -kernel_name -xo_path -ip_directory -kernel_xml} {-force} 0 0 none
  create_bd_design          {}                                      {}                              1 1 none
  create_bd_cell            {-type -vlnv}                           {}                              1 1 first
  get_bd_cells              {}                                      {}                              1 1 first
  get_bd_pins               {}                                      {}                              1 1 first
  get_bd_intf_pins          {}                                      {}                              1 1 first
  get_bd_addr_spaces        {}                                      {}                              1 1 first
  get_bd_addr_segs          {}                                      {}                              1 1 first
  connect_bd_net            {}                                      {}                              2 99 none
  connect_bd_intf_net       {}                                      {}                              2 2 none
  assign_bd_address         {-offset -range -target_address_space}  {}                              0 1 none
  exclude_bd_addr_seg       {-target_address_space}                 {}                              1 1 none
  validate_bd_design        {}                                      {}                              0 0 none
  save_bd_design            {}                                      {}                              0 0 none
  make_wrapper              {}                                      {-top -import}                  1 1 none
  launch_runs               {-to_step -jobs}                        {}                              1 1 none
  wait_on_run               {}                                      {}                              1 1 none
  open_run                  {}                                      {}                              1 1 none
  report_timing_summary     {-file}                                 {}                              0 0 none
  report_utilization        {-file}                                 {-hierarchical}                 0 0 none
  write_hw_platform         {-file}                                 {-fixed -include_bit -force}    0 0 none
  create_clock              {-name -period}                         {}                              1 1 none
  get_ports                 {}                                      {}                              1 1 first
}
# What has no arguments and is still something
array set constants {current_project project ipx::current_core core}

proc put {args} {
  puts [join [lmap one $args { string map [list \n { } \x1f { }] $one }] \x1f]
}

# Options, then the rest.
proc split_options {command valued plain arguments} {
  set options {}
  set rest {}
  for {set i 0} {$i < [llength $arguments]} {incr i} {
    set one [lindex $arguments $i]
    if {$one in $valued} {
      if {[incr i] >= [llength $arguments]} { error "$command: $one has no value" }
      lappend options "$one=[lindex $arguments $i]"
    } elseif {$one in $plain} {
      lappend options $one
    } elseif {[string match {-[a-z]*} $one]} {
      error "$command: no option $one"
    } else {
      lappend rest $one
    }
  }
  return [list $options $rest]
}

proc recorded {command valued plain least most returns args} {
  lassign [split_options $command $valued $plain $args] options rest
  if {[llength $rest] < $least || [llength $rest] > $most} {
    error "$command: [llength $rest] arguments, expected $least to $most"
  }
  if {![string match {*get_*} $command]} { put $command {*}$options {*}$rest }
  if {[info exists ::constants($command)]} { return $::constants($command) }
  switch $returns {
    first { return [lindex $rest 0] }
    all { return $rest }
    part { return [lindex $rest end]/[lindex $rest 0] }
  }
  return {}
}

proc set_property {args} {
  lassign [split_options set_property {} -dict $args] options rest
  lassign $rest name value object
  if {$options eq "-dict"} {
    if {[llength $rest] != 2} { error "set_property -dict: [llength $rest] arguments, expected 2" }
    lassign $rest pairs object
    if {[llength $pairs] % 2} { error "set_property -dict: a name without a value" }
  } elseif {[llength $rest] != 3} {
    error "set_property: [llength $rest] arguments, expected 3"
  } else {
    set pairs [list $name $value]
  }
  if {$object eq ""} { error "set_property: of nothing" }
  foreach {name value} $pairs { put set_property $name $value $object }
}

# Of `file` only what looks at names: a script may not touch the disk here.
proc file_names {subcommand args} {
  if {$subcommand ni {dirname join normalize tail}} { error "file $subcommand is not for these scripts" }
  return [file $subcommand {*}$args]
}

set script [file normalize [lindex $argv 0]]
set channel [open $script]
set text [read $channel]
close $channel

interp create vivado
foreach hidden {cd exec exit fconfigure glob load open pwd socket source unload} { vivado hide $hidden }
foreach {command valued plain least most returns} $commands {
  if {[string match *::* $command]} { vivado eval [list namespace eval [namespace qualifiers $command] {}] }
  vivado alias $command recorded $command $valued $plain $least $most $returns
}
vivado alias set_property set_property
vivado hide file
vivado alias file file_names
vivado eval { unset -nocomplain auto_path; set auto_noload 1; set auto_noexec 1 }
vivado eval [list set argv [lrange $argv 1 end]]
vivado eval [list info script $script]
if {[catch { vivado eval [list eval $text] } message]} {
  set lines [regexp -all -inline {body line (\d+)} $::errorInfo]
  puts stderr "line [lindex $lines end]: $message"
  exit 1
}
